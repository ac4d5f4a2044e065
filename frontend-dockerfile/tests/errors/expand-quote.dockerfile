FROM alpine
ENV a='it's
COPY "a b" /c
ENV d="x
