FROM busybox
WORKDIR /w
RUN --mount=type=secret,id=one a
RUN --mount=type=secret,id=one,target=/x/y,required b
RUN --mount=type=secret,target=/s/name c
RUN --mount=type=secret,id=a/b d
RUN --mount=type=secret,id=t,env=TOKEN echo $TOKEN
RUN --mount=type=secret,id=t,env=TOKEN,target=/t f
RUN --mount=type=secret,source=src,mode=0440,uid=1,gid=2 g
RUN --mount=type=secret,id=m,mode=0444 h
RUN --mount=type=secret,id=m,uid=7 i
