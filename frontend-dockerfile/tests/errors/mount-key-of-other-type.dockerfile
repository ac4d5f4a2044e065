FROM alpine
RUN --mount=target=/x,size=1m true
RUN --mount=size=1m,type=tmpfs,target=/x true
RUN --mount=type=cache,target=/x,required true
RUN --mount=type=tmpfs,target=/x,sharing=locked true
RUN --mount=target=/x,uid=1000 true
RUN --mount=type=secret,id=s,from=build true
RUN --mount=type=ssh,source=key true
