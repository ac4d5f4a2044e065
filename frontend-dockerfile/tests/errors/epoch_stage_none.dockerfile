ARG SOURCE_DATE_EPOCH=clock
FROM scratch AS clock
ARG X
FROM busybox
