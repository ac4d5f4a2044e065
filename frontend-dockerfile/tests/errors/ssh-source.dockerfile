FROM alpine
RUN --mount=type=ssh,source=key true
