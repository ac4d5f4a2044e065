#! target first
FROM busybox AS first
ARG TARGETSTAGE
RUN env
FROM first
RUN last
