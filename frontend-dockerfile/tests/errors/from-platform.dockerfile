FROM --platform=bogus alpine
FROM --platform=a/b/c/d alpine
FROM --platform=linux/ alpine
