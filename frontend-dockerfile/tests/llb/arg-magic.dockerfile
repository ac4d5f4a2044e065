#! build-arg BUILDKIT_CACHE_MOUNT_NS=ns
#! build-arg BUILDKIT_SANDBOX_HOSTNAME=myhost
#! build-arg BUILDKIT_BUILD_NAME=name
#! build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all
#! build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1
FROM busybox
RUN --mount=type=cache,target=/c true
ARG BUILDKIT_BUILD_NAME
RUN two
