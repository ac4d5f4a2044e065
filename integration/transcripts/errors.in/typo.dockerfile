FROM busybox
RUNN make
COPY --chwon=1 greeting /
