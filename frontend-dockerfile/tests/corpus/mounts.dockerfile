#! build-arg BUILDKIT_CACHE_MOUNT_NS=ns
FROM alpine
ARG dir=/root/.cache
WORKDIR /w
RUN --mount=type=cache,target=$dir \
    --mount=type=cache,id=x,target=rel,sharing=locked,uid=5,mode=0700 \
    --mount=type=bind,target=/ctx,rw \
    --mount=source=sub,target=/sub \
    --mount=type=tmpfs,target=/tmp,size=10m \
    --mount=type=secret,id=token \
    --mount=type=secret,id=pass,env=PASS,required \
    --mount=type=ssh \
    go build
RUN --mount=type=secret,target=/k --security=insecure --device=vendor/class=a,required true
