#! target MID
FROM busybox AS mid
RUN b
FROM busybox
RUN c
