FROM busybox
RUN --mount=from=llb-full:1,target=/full a
RUN --mount=from=busybox,target=/same a
