FROM alpine
RUN --mount=type=cache,target=/x,sharing=exclusive true
RUN --mount=type=cache,target=/x,mode=rwx true
RUN --mount=type=cache,target=/x,uid=node true
RUN --mount=type=tmpfs,target=/x,size=big true
RUN --mount=target=/x,readonly=no true
RUN --mount=type=secret,id=s,required=maybe true
