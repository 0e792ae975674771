"""The ablation of the paper's Tables 2 and 4: ``rows`` says what is trained, ``runs`` trains and scores it,
``results`` judges the numbers, ``report`` and ``figures`` show what came out."""
