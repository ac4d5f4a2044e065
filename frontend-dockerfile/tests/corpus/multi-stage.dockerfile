# syntax=docker/dockerfile:1
#! build-arg VERSION=2
#! label org.test=yes
ARG VERSION=1
ARG GO=1.${VERSION}2
FROM --platform=$BUILDPLATFORM golang:1.22 AS Build
ARG VERSION
ARG TARGETARCH LOCAL=$VERSION-x
ENV A=1 B=$A-${TARGETARCH}
WORKDIR src
RUN make $VERSION

FROM doesnotexist AS unused
RUN never

FROM build AS test
RUN make test

FROM alpine
COPY --from=build --chown=app:1000 --chmod=0755 /src/out /usr/bin/
COPY --from=0 /src/doc /doc
COPY --from=busybox /bin/busybox /bin/
RUN --mount=type=bind,from=build,source=/src,target=/s --network=none ls /s
ENTRYPOINT ["/usr/bin/out"]
