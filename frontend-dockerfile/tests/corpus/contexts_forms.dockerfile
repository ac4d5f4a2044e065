#! context docker.io/library/alpine:latest=ignoring
#! context base=docker-image://busybox
#! context img=docker-image://busybox
#! context web=https://example.org/a.tgz
#! context loc=ignoring
#! context nothing=docker-image://scratch
#! context lay=oci-layout://st
#! context ubuntu::linux/amd64=oci-layout://special
#! context ubuntu=oci-layout://general
#! context context=docker-image://ubuntu
FROM nowhere AS base
RUN this is not run
FROM alpine AS local
FROM ubuntu AS layout
FROM base
COPY --from=web /context /x
COPY --from=loc /f /g /
COPY --from=loc /f /h
COPY --from=img /etc/passwd /p
COPY --from=lay / /lay
COPY --from=nothing / /none
COPY --from=local /l /
COPY --from=layout /l /
RUN --mount=from=loc,source=/g,target=/m true
COPY . /here
