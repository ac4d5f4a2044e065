FROM busybox
WORKDIR /app
COPY a .
COPY a ./
COPY a rel
COPY a rel/
COPY a /abs/.
COPY a ../..
COPY a "."
