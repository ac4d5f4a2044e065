ARG SOURCE_DATE_EPOCH=clock
FROM scratch AS clock
ADD http://h/a /
ADD http://h/b /
FROM busybox
