FROM busybox
ARG T=/target I=ident S=src
RUN --mount=type=cache,target=$T,id=${I}x --mount=source=$S,target=/m x
RUN --mount=type=secret,id=$I,env=${I} y
