FROM busybox
COPY absent /
