FROM alpine
COPY <<EOF /x
never ends
