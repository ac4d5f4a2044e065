FROM alpine
LABEL
LABEL name
LABEL a=1 two words
LABEL =1
