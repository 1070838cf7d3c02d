// The model of bnn.py, with its names and shapes. `target +=` keeps the constants of a
// density, which `~` would drop: Stan's log density is the whole one.
functions {
  vector network(matrix X, matrix w1, matrix w2, matrix w3) {
    return to_vector(tanh(tanh(X * w1) * w2) * w3);
  }
}
data {
  int N, N_new, D_X, D_H;
  matrix[N, D_X] X;
  matrix[N, 1] Y;
  matrix[N_new, D_X] X_new;
}
parameters {
  matrix[D_X, D_H] w1;
  matrix[D_H, D_H] w2;
  matrix[D_H, 1] w3;
  real<lower=0> prec_obs;
}
model {
  target += normal_lpdf(to_vector(w1) | 0, 1);
  target += normal_lpdf(to_vector(w2) | 0, 1);
  target += normal_lpdf(to_vector(w3) | 0, 1);
  target += gamma_lpdf(prec_obs | 3, 1);
  target += normal_lpdf(to_vector(Y) | network(X, w1, w2, w3), 1 / sqrt(prec_obs));
}
generated quantities {
  vector[N_new] f_new = network(X_new, w1, w2, w3);
  array[N_new] real Y_new = normal_rng(f_new, 1 / sqrt(prec_obs));
}
