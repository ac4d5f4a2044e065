#! platform linux/arm64
FROM --platform=$BUILDPLATFORM busybox AS build
ARG TARGETARCH
RUN make $TARGETARCH
FROM llb-full:1
COPY --from=build /out /out
RUN target
