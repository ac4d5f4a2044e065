FROM alpine
ARG TOKEN
ENV url=${HOST?}
ENV token="${TOKEN:?pass the deploy token}"
COPY ${SRC:?} /
