#! context src=https://example.org/a.tgz
#! build-arg SOURCE_DATE_EPOCH=src
FROM busybox
ARG SOURCE_DATE_EPOCH=3
RUN echo $SOURCE_DATE_EPOCH
