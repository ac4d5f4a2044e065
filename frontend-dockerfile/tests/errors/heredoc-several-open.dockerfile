FROM alpine
COPY <<one <<two /files/
1
one
2
