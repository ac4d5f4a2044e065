#! main https://example.org/repo.git#v1:sub
#! build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1
#! build-arg SOURCE_DATE_EPOCH=context
FROM busybox
ARG SOURCE_DATE_EPOCH
RUN echo $SOURCE_DATE_EPOCH
COPY . /all
