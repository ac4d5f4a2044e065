ARG SOURCE_DATE_EPOCH=clock
FROM scratch AS clock
ADD a /
FROM busybox
