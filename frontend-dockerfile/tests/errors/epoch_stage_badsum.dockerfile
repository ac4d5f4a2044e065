ARG SOURCE_DATE_EPOCH=clock
FROM scratch AS clock
ADD --checksum=md5:1 http://h/a /
FROM busybox
