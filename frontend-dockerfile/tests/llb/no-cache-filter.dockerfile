#! no-cache-filter B
FROM busybox AS a
RUN x
FROM a AS b
RUN y
FROM b
RUN z
