FROM llb-empty:1
COPY a /
RUN ["/a"]
