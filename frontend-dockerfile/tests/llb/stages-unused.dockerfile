FROM nothing-here:1 AS unused
RUN a
FROM busybox
RUN b
