FROM --platform=$BUILDPLATFROM alpine
