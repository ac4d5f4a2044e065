FROM alpine
RUN --mount=type=secret true
RUN --mount=type=secret,env=TOKEN true
RUN --mount=type=secret,id=a,source=b true
