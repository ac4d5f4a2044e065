FROM --platfrom=linux/amd64 alpine
FROM --platform alpine
FROM --platform=linux/amd64 --platform=linux/arm64 alpine
