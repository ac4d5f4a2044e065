#! context src=https://example.org/undated
#! build-arg SOURCE_DATE_EPOCH=src
FROM busybox
ARG SOURCE_DATE_EPOCH
RUN echo $SOURCE_DATE_EPOCH
