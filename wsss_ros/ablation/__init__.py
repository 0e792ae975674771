"""The ablation of the paper's Tables 2 and 4: ``rows`` says what is trained, ``runs`` trains and scores it, ``report`` and
``figures`` show what came out."""
