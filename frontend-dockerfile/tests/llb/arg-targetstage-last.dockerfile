FROM busybox AS first
FROM busybox AS Last
ARG TARGETSTAGE
RUN env
