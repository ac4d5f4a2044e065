FROM alpine
COPY --chmod=888 a b
COPY --chmod=0o755 a b
COPY --chmod=u+q a b
COPY --chmod=17777 a b
