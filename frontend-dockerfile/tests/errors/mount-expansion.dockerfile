FROM alpine
RUN --mount=type=cache,target=${HOME true
