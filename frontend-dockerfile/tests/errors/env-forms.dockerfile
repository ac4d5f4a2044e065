FROM alpine
ENV
ENV name
ENV a=1 b
ENV =1
ENV a = b
ENV a=b =c
