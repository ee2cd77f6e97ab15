"The house rules: each is a function that takes a `SourceTree` and returns the places that break it"
