ARG SOURCE_DATE_EPOCH=clock
FROM busybox AS clock
ADD http://h/a /
FROM busybox
