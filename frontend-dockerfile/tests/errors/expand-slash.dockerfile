FROM alpine
ENV a=${b/x} c=1
ENV d=${e//x}
