"""Diffusion processes, and the walk back from a degraded signal to a clean one.

One equation serves every process:

    x_t = a(t) x_0 + b(t) y + s(t) eps

x_0 is clean, y the recording (absent where b = 0), eps standard normal; t = 0 is data and t = 1 the start of
sampling. A denoiser D(x_t, t) estimates x_0, and one step goes from t down to u:

    x_u = a_u D + b_u y + kappa (x_t - a_t D - b_t y) + n z

A process gives a, b, s and (kappa, n); ``make_denoiser`` turns a network into D; a grid says at which times;
a sampler repeats the step. Loss and samplers use the same denoiser.
"""
