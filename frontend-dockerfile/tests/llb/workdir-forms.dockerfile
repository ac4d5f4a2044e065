FROM llb-full:1
WORKDIR sub
WORKDIR /app/
WORKDIR x
WORKDIR /a/../b
RUN pwd
COPY a rel
WORKDIR ""
RUN --mount=target=rel --mount=target=/abs/../x/ pwd
