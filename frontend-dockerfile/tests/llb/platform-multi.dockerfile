#! platform linux/amd64
#! platform linux/arm64
FROM --platform=$BUILDPLATFORM busybox AS build
ARG TARGETOS TARGETARCH
RUN make $TARGETOS $TARGETARCH
FROM llb-full:1
COPY --from=build /out /out
RUN target
