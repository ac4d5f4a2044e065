ARG SOURCE_DATE_EPOCH=clock
FROM scratch AS clock
COPY a /
FROM busybox
