#! target mid
FROM busybox AS first
RUN a
FROM first AS mid
RUN b
FROM mid
RUN c
