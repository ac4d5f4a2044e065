FROM scratch
RUN ["/a"]
