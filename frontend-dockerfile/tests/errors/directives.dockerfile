# escape=x
# escape=y
FROM alpine
