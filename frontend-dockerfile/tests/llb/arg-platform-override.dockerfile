#! build-arg TARGETARCH=sparc
#! build-arg TARGETSTAGE=mine
FROM busybox AS x
ARG TARGETARCH
ARG TARGETSTAGE
RUN env
