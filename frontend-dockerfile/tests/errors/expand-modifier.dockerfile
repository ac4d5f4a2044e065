FROM alpine
ENV a=${b^} c=${d,,}
COPY ${x@Q} /y
ENV e=${f:#x}
